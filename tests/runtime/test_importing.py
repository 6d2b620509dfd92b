"""An import of the user's that fails says where in the user's own files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_saga.orchestrator.cli.participant import participant
from kafka_saga.orchestrator.registry import load_definitions
from kafka_saga.runtime.errors import ConfigError, DefinitionError
from kafka_saga.runtime.importing import import_users

SAGA = """from pydantic import BaseModel
from kafka_saga import Saga, Step


class Wanted(BaseModel):
    order_id: str


class Take(BaseModel):
    order_id: int


steps = [Step("one", service="stock", action=Take)]
shop = Saga("shop", version=1, request=Wanted, steps=steps)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of somebody's, in the current directory; what it imports is forgotten afterwards."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"sagas.py": "\n\nnow = Stpe('one')\n"},
            "cannot import it: NameError: name 'Stpe' is not defined (shop/sagas.py, line 3)",
        ),
        (
            {"sagas.py": "from shop import models\n", "models.py": "def read():\n    return {}['x']\n\nX = read()\n"},
            "KeyError: 'x' (shop/models.py, line 2, from shop/models.py, line 4, from shop/sagas.py, line 1)",
        ),
        ({"sagas.py": "x = (\n"}, "SyntaxError: '(' was never closed (shop/sagas.py, line 1)"),
        (
            {"sagas.py": "import json\n\njson.loads('{')\n"},
            "in double quotes: line 1 column 2 (char 1) (shop/sagas.py, line 3)",
        ),
        (
            {"sagas.py": "from pydantic import BaseModel\n\n\nclass A(BaseModel):\n    x: object()\n"},
            "(shop/sagas.py, line 4)",
        ),
        ({"sagas.py": "import sys\n\nsys.exit(3)\n"}, "SystemExit: 3 (shop/sagas.py, line 3)"),
        (
            {"sagas.py": "raise ValueError('\\ud800\\n  two lines')\n"},
            "ValueError: ? two lines (shop/sagas.py, line 1)",
        ),
        ({"sagas.py": "import nonesuch\n"}, "No module named 'nonesuch' (shop/sagas.py, line 1)"),
        ({}, "there is no module 'shop.sagas', neither in "),
    ],
    ids=["name", "frames", "syntax", "library", "pydantic", "exit", "nonsense", "its import", "not there"],
)
def test_an_import_that_fails_says_where_in_the_users_files(project: Path, files: dict[str, str], says: str) -> None:
    for name, text in files.items():
        (project / "shop" / name).write_text(text)

    with pytest.raises(ConfigError) as caught:
        import_users("shop.sagas", "--app shop.sagas")

    assert str(caught.value).startswith("--app shop.sagas: cannot import it: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "importlib" not in str(caught.value)


def test_a_definition_that_is_wrong_says_in_which_line_it_stands(project: Path) -> None:
    (project / "shop" / "sagas.py").write_text(SAGA)

    with pytest.raises(DefinitionError) as caught:
        load_definitions(["shop.sagas"])

    assert str(caught.value).startswith("saga 'shop', step 'one', action Take: the field 'order_id' is int, but ")
    assert str(caught.value).endswith(" (shop/sagas.py, line 14)")


def test_a_participants_module_says_the_same(project: Path) -> None:
    (project / "shop" / "stock.py").write_text(
        "from kafka_saga import Participant\n\nstock = Participant('My stock')\n"
    )

    with pytest.raises(DefinitionError) as caught:
        participant("shop.stock:stock")

    assert str(caught.value).endswith("(shop/stock.py, line 3)")
