"""The google provider's schema, read from a package that is generated from it.

`cdktn-provider-google` has, for each resource and data source, a JavaScript class that writes its HCL and a TypeScript
interface of its arguments. Both are generated from the provider's own schema, so together they say all of it: names,
types, nesting, which arguments are needed, which attributes are only read, and the values that an argument may have.

Only the standard library is used; `python -m` is not needed: `schema.py PACKAGE.tgz OUT.json`.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# An argument as the JavaScript writes it: name, value, whether it is a block, how it nests, what it holds.
ARGUMENT = re.compile(
    r'(\w+): \{\s+value: (.*?),\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",', re.S
)
WRITER = re.compile(r"\nfunction (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}", re.S)
CLASS = re.compile(r"\nclass (\w+) extends cdktn\.Terraform(Resource|DataSource|Provider) \{(.*?)\n\}\n", re.S)
TERRAFORM_NAME = re.compile(r'static tfResourceType = "(\w+)"')
SYNTHESIS = re.compile(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}", re.S)
GETTER = re.compile(r"get(\w+?)Attribute\('(\w+)'\)")
COMPLEX_GETTER = re.compile(r'new \w+\(this, "(\w+)"')

# An argument as the TypeScript declares it: the anchor of its documentation has Terraform's name, `?` says optional.
INTERFACE = re.compile(r"export interface (\w+)[^{]*\{(.*?)\n\}", re.S)
DECLARED = re.compile(r"#(\w+) [^}\n]*\}\s*(?:\n[^\n]*?)*?\*/\s*readonly (\w+)(\??):")
POSSIBLE = re.compile(r"Possible values: \[([^\]]*)\](?:(?!\*/).)*?#(\w+) ", re.S)

PRIMITIVE = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
READ_AS: dict[str, Any] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "StringMap": ["map", "string"],
}

Block = dict[str, Any]


def type_of(nesting: str, stored: str) -> Any:
    """Terraform's type of an argument that is stored as "string", "numberList", "stringMap", ..."""
    collection = re.fullmatch(r"(string|number|boolean)(List|Map|Set)", stored)
    if collection is None:
        return PRIMITIVE.get(stored, "dynamic")
    kind = "map" if collection[2] == "Map" else nesting if nesting in ("list", "set") else "list"
    return [kind, PRIMITIVE[collection[1]]]


class Module:
    """One folder of the package: a resource or data source with the blocks in it."""

    def __init__(self, javascript: str, typescript: str) -> None:
        self.javascript = javascript + "\n"
        self.writers = {match[1]: match[2] for match in WRITER.finditer(javascript)}
        self.needed: dict[str, dict[str, bool]] = {}
        self.possible: dict[str, dict[str, list[str]]] = {}
        for match in INTERFACE.finditer(typescript):
            key = match[1][0].lower() + match[1][1:]
            self.needed[key] = {found[1]: not found[3] for found in DECLARED.finditer(match[2])}
            self.possible[key] = {found[2]: re.findall(r'"([^"]+)"', found[1]) for found in POSSIBLE.finditer(match[2])}

    def items(self) -> Iterator[tuple[str, str, Block]]:
        """What the module holds: Resource, DataSource or Provider; its name in Terraform; its schema."""
        for name, kind, body in CLASS.findall(self.javascript):
            synthesis, terraform_name = SYNTHESIS.search(body), TERRAFORM_NAME.search(body)
            assert terraform_name is not None, name
            block = self._block(synthesis[1] if synthesis else "", name[0].lower() + name[1:] + "Config")
            _add_outputs(body, block)
            yield kind, terraform_name[1], block

    def _block(self, body: str, interface: str, inside: tuple[str, ...] = ()) -> Block:
        needed, possible = self.needed.get(interface, {}), self.possible.get(interface, {})
        block: Block = {"attributes": {}, "blocks": {}}
        for name, value, is_block, nesting, stored in ARGUMENT.findall(body):
            if is_block == "false":
                block["attributes"][name] = {
                    "type": type_of(nesting, stored),
                    "required": needed.get(name, False),
                    "values": possible.get(name, []),
                }
                continue
            writer = re.search(r"(\w+)ToHclTerraform", value)
            assert writer is not None, value
            block["blocks"][name] = self._nested(writer[1], inside) | {
                "nesting": "single" if name == "timeouts" else "set" if nesting == "set" else "list",
                "most": 0 if "listMapperHcl" in value else 1,
                "least": int(needed.get(name, False)),
            }
        return block

    def _nested(self, writer: str, inside: tuple[str, ...]) -> Block:
        if writer in inside:  # a block within itself: deep enough
            return {"attributes": {}, "blocks": {}}
        block = self._block(self.writers.get(writer, ""), writer, (*inside, writer))
        reference = re.search(
            rf"\nclass {writer[0].upper()}{writer[1:]}OutputReference extends .*?\n\}}", self.javascript, re.S
        )
        if reference:
            _add_outputs(reference[0], block)
        return block


def _add_outputs(body: str, block: Block) -> None:
    """The attributes that are only read: those with a getter and no argument."""
    getters = [(name, READ_AS.get(kind, "dynamic")) for kind, name in GETTER.findall(body)]
    for name, kind in [*getters, *[(name, "dynamic") for name in COMPLEX_GETTER.findall(body)]]:
        if name not in block["blocks"]:
            block["attributes"].setdefault(name, {"type": kind, "computed": True})


def read(package: Path) -> dict[str, dict[str, Block]]:
    """Every resource, data source and the provider itself, by kind and name. Takes some seconds."""
    texts: dict[str, dict[str, str]] = {}
    with tarfile.open(package) as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[:2] != ["package", "lib"] or not member.name.endswith((".js", ".d.ts")):
                continue
            file = archive.extractfile(member)
            assert file is not None
            language = "typescript" if member.name.endswith(".d.ts") else "javascript"
            folder = texts.setdefault(parts[2], {"javascript": "", "typescript": ""})
            folder[language] += "\n" + file.read().decode()
    schema: dict[str, dict[str, Block]] = {"Resource": {}, "DataSource": {}, "Provider": {}}
    for folder in texts.values():
        for kind, name, block in Module(**folder).items():
            schema[kind][name] = block
    return schema


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(read(Path(sys.argv[1]))))
