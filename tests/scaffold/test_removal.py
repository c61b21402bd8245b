"""What goes with a module: what is its own, and nothing that only sounds like it; what others need does not go."""

from pathlib import Path

import pytest

from app.commands.writing import ROOT
from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.fields import DEFAULT, read_fields
from app.scaffold.modules import draft_module
from app.scaffold.names import read_names
from app.scaffold.removal import take_out
from app.scaffold.signs import Gone


@pytest.mark.parametrize(
    ("name", "one"), [("items", None), ("sessions", "sitting"), ("invoices", "bill"), ("documents", None)]
)
def test_a_new_module_leaves_no_trace(name: str, one: str | None) -> None:
    """Others have keys, paths, codes, tables and names within statements that are called so: all of that stays."""
    draft = draft_module(ROOT, read_names(ROOT, name, one), read_fields(DEFAULT), "simple")
    take_out(draft, [name])
    own = (f"app/modules/{name}/", f"tests/modules/{name}/", "alembic/")
    outside = {path: text for path, text in draft.changes.items() if not path.startswith(own)}
    assert {path for path, text in outside.items() if text != (ROOT / path).read_text(encoding="utf-8")} == set()
    assert {text for path, text in draft.changes.items() if path.startswith(own[:2])} == {None}


SIGNS = Gone({"app.modules.crates"}, {"crates.read"}, "crate", ("/crates",), ("crates",))


@pytest.mark.parametrize(
    "text",
    [
        "crates.read",
        "app.modules.crates.models",
        "/crates",
        "GET /crates/{crate_id}",
        "/crates?limit=5",
        "select * from crates",
        "SELECT name FROM public.crates",
        'delete from only "crates"',
        "select 1 from tenants t, crates c where c.tenant_id = t.id",
        "begin; lock table tenants, crates in access exclusive mode",
        "grant select on table crates to app_ro",
        "insert into crates (name) values ('a')",
    ],
)
def test_what_a_module_alone_is_called(text: str) -> None:
    """What it declares, its address, and its table where a statement asks for one."""
    assert SIGNS.is_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "crates",
        "crates.write",
        "app.modules.crates_of_others",
        "/tenants/crates",
        "/cratesets",
        "Select what you like; the crates stay.",
        "take it from crates",
        "select crates from carts",
        "with crates as (select 1) select * from crates",
    ],
)
def test_what_many_things_are_called(text: str) -> None:
    """A word, a longer path, prose, a column, what a statement calls so itself."""
    assert not SIGNS.is_text(text)


ROWS = '''
class Alpha(Base):
    """One."""

    __tablename__ = "alphas"
'''


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("app/modules/betas/services.py", "from app.modules.alphas.models import Alpha", "remove betas first"),
        ("app/modules/betas/services.py", "def ask():\n    import app.modules.alphas.models", "remove betas first"),
        ("app/modules/betas/models.py", 'KEY = sa.ForeignKey("alphas.id")', "remove betas first"),
        ("app/modules/betas/models.py", 'KEYS = (tenant_fk("alpha_id", "alphas"),)', "remove betas first"),
        ("app/tenants/services.py", "from app.modules import alphas", "take that out first"),
    ],
)
def test_what_others_need_does_not_go(tmp_path: Path, path: str, text: str, said: str) -> None:
    """Without it they would not start, or keep its tables from being dropped: one line names the file."""
    draft = Draft(tmp_path)
    draft.write("app/modules/alphas/models.py", ROWS)
    draft.write("app/modules/betas/handlers/alphas.py", "from app.modules.alphas.models import Alpha")
    draft.write(path, text)
    with pytest.raises(ScaffoldError, match=f"needs alphas: {path}; {said}"):
        take_out(draft, ["alphas"])
