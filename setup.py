"""Reads settings.ini, the one place for version and requirements.

Each `<x>_requirements` key is the pip extra `<x>`.
"""
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

ENDING = "_requirements"
extras = {k.removesuffix(ENDING): v.split() for k, v in cfg.items() if k.endswith(ENDING)}

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license="Apache-2.0 AND CC-BY-SA-3.0",
    packages=["last"],
    package_data={"last": ["data/*", "configs/*", "hdm05_pack/*", "weights/*", "weights/*/*"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": [cfg["console_scripts"]]},
    zip_safe=False,
)
