"""Which changes of the database the version before can go on working with, while both run: see docs/upgrading.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

TAKES_AWAY = {
    migrations.RemoveField: "removes a column that the version before still reads and writes",
    migrations.DeleteModel: "removes a table that the version before still reads and writes",
    migrations.RenameField: "renames a column under the version before",
    migrations.RenameModel: "renames a table under the version before",
    migrations.AlterModelTable: "renames a table under the version before",
}
HOW = {
    "removes": "stop using it in this version and remove it in the next",
    "renames": "add the new one, copy, use both for one version, then remove the old one",
}


def problems(migration: migrations.Migration, before: ProjectState) -> Iterator[str]:
    """What the version before could not work with, a sentence each. before: the state that it works with."""
    state = before.clone()
    made: set[str] = set()  # tables of this very migration, which the version before does not know
    for operation in migration.operations:
        for problem in _problems(operation, migration.app_label, state, made):
            yield f"{migration.app_label} {migration.name}: {operation.describe()}: {problem}"
        if isinstance(operation, migrations.CreateModel):
            made.add(operation.name_lower)
        operation.state_forwards(migration.app_label, state)


def _problems(operation: Operation, label: str, state: ProjectState, made: set[str]) -> Iterator[str]:
    about = str(getattr(operation, "model_name", getattr(operation, "name", ""))).lower()
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        for each in operation.database_operations:
            yield from _problems(each, label, state, made)
        return
    if about in made:
        return
    for kind, problem in TAKES_AWAY.items():
        if isinstance(operation, kind):
            yield f"{problem}; {HOW[problem.split()[0]]}"
    if isinstance(operation, migrations.AddField) and _must_be_given(operation.field):
        yield (
            "adds a column that has to have a value, and the version before gives it none: "
            "let it be null, or give it a db_default"
        )
    if isinstance(operation, migrations.AlterField):
        yield from _altered(state.models[label, about].fields[operation.name], operation.field)
    if isinstance(operation, (migrations.AddConstraint, migrations.AlterUniqueTogether)):
        yield "asks of rows what the version before does not know of: add it in the next version"
    if isinstance(operation, migrations.RunSQL):
        yield "is SQL, which is not looked into: say in ALLOWED why it is safe"


def _must_be_given(field: Any) -> bool:
    if field.many_to_many:
        return False
    return not field.null and field.db_default is NOT_PROVIDED and not isinstance(field, models.AutoField)


def _altered(old: Any, new: Any) -> Iterator[str]:
    if old.null and not new.null:
        yield "makes a column NOT NULL that the version before leaves empty: do so in the next version"
    if not old.unique and new.unique:
        yield "makes a column unique, which the version before does not keep to: do so in the next version"
    if old.get_internal_type() != new.get_internal_type():
        kinds = f"from {old.get_internal_type()} to {new.get_internal_type()}"
        yield f"changes a column {kinds}: add another one instead"
    if (new.max_length or 0) < (old.max_length or 0):
        lengths = f"{old.max_length} to {new.max_length}"
        yield f"shortens a column from {lengths} characters: see to its values in this version"
