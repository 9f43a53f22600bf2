"""A new version and the one before it run at the same time: what a migration changes, both can work with."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.unit.migration_rules import problems

OURS = ("nodes", "transfers")
# Made before there was a version that could have run beside them.
FIRST = {"nodes": "0004", "transfers": "0007"}
# (app, migration) -> why it is safe all the same
ALLOWED: dict[tuple[str, str], str] = {
    ("transfers", "0009_standing"): "new tables; the constraint on a webhook's kind allows one more than it did",
}


def test_every_new_migration_is_safe_beside_the_version_before() -> None:
    loader = MigrationLoader(None)
    found = []
    for key, migration in loader.disk_migrations.items():
        label, name = key
        if label in OURS and name[:4] > FIRST[label] and key not in ALLOWED:
            # a dependency on whatever model users are of, as "__first__" of its app, is that app's first migration
            before = [loader.check_key(key, label) or key for key in migration.dependencies]
            found += problems(migration, loader.project_state(before))
    assert found == []


def state() -> ProjectState:
    before = ProjectState()
    before.add_model(
        ModelState(
            "nodes",
            "Thing",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=100)),
                ("size", models.IntegerField(null=True)),
            ],
        )
    )
    return before


def said(*operations: migrations.operations.base.Operation) -> list[str]:
    migration = migrations.Migration("0009_change", "nodes")
    migration.operations = list(operations)
    return list(problems(migration, state()))


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (migrations.RemoveField("thing", "size"), "stop using it in this version"),
        (migrations.DeleteModel("Thing"), "stop using it in this version"),
        (migrations.RenameField("thing", "size", "length"), "add the new one"),
        (migrations.RenameModel("Thing", "Object"), "add the new one"),
        (migrations.AlterModelTable("thing", "things"), "add the new one"),
        (migrations.AddField("thing", "kind", models.CharField(max_length=9, default="a")), "db_default"),
        (migrations.AlterField("thing", "size", models.IntegerField()), "NOT NULL"),
        (migrations.AlterField("thing", "name", models.CharField(max_length=50)), "shortens"),
        (migrations.AlterField("thing", "name", models.CharField(max_length=100, unique=True)), "unique"),
        (migrations.AlterField("thing", "size", models.TextField(null=True)), "from IntegerField to TextField"),
        (
            migrations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="one")),
            "in the next version",
        ),
        (migrations.RunSQL("DROP TABLE nodes_thing"), "is SQL"),
    ],
)
def test_a_change_that_breaks_the_version_before_is_told(
    operation: migrations.operations.base.Operation, what: str
) -> None:
    (problem,) = said(operation)
    assert problem.startswith("nodes 0009_change: ")
    assert what in problem


def test_what_the_version_before_does_not_notice_is_fine() -> None:
    made = migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))])
    assert (
        said(
            made,
            migrations.AddField("other", "kind", models.CharField(max_length=9)),
            migrations.AddField("thing", "kind", models.CharField(max_length=9, db_default="a")),
            migrations.AddField("thing", "note", models.TextField(null=True)),
            migrations.AddIndex("thing", models.Index(fields=["name"], name="by_name")),
            migrations.AlterField("thing", "name", models.CharField(max_length=200)),
            migrations.RunPython(migrations.RunPython.noop),
        )
        == []
    )
