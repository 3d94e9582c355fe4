"""Reads the part of YAML that workflow files here keep to, and refuses the rest: mappings and
sequences in blocks, sequences of words in brackets, plain and double-quoted scalars, comments on
lines of their own. A plain scalar stays a string, and a key may stand only once."""

import re

KEY = re.compile(r"([A-Za-z0-9_-]+):(?: +(\S.*))?")
WORD = re.compile(r"[A-Za-z0-9./_-]+")


class Refused(ValueError):
    """The text is no YAML, or of a kind that is not read here."""


def scalar(number, text):
    if text.startswith("["):
        if not text.endswith("]"):
            raise Refused(f"line {number}: the bracket does not end: {text}")
        words = [word.strip() for word in text[1:-1].split(",")]
        if not all(WORD.fullmatch(word) for word in words):
            raise Refused(f"line {number}: not a list of words: {text}")
        return words
    if text.startswith('"'):
        if not re.fullmatch(r'"[^"\\]*"', text):
            raise Refused(f"line {number}: not a plain quoted string: {text}")
        return text[1:-1]
    if text[0] in "'{}]>|*&!%@`#,?" or text.startswith("- ") or ": " in text or " #" in text or \
            text.endswith(":"):
        raise Refused(f"line {number}: not a plain scalar: {text}")
    return text


class Lines:
    def __init__(self, text):
        self.rest = []
        for number, line in enumerate(text.splitlines(), 1):
            content = line.strip(" ")
            if "\t" in line or line != line.rstrip():
                raise Refused(f"line {number}: a tab, or blanks at its end")
            if content and not content.startswith("#"):
                self.rest.append((number, len(line) - len(content), content))

    def indent(self):
        return self.rest[0][1] if self.rest else -1

    def block(self):
        if self.rest[0][2].startswith("- "):
            return self.sequence(self.indent())
        return self.mapping(self.indent())

    def sequence(self, indent):
        items = []
        while self.indent() == indent and self.rest[0][2].startswith("- "):
            number, _, content = self.rest[0]
            content = content[2:].lstrip(" ")
            if KEY.fullmatch(content):
                # A mapping that begins on the dash's own line.
                self.rest[0] = (number, indent + 2, content)
                items.append(self.mapping(indent + 2))
            else:
                self.rest.pop(0)
                items.append(scalar(number, content))
        self.ended(indent)
        return items

    def mapping(self, indent):
        found = {}
        while self.indent() == indent and not self.rest[0][2].startswith("- "):
            number, _, content = self.rest.pop(0)
            match = KEY.fullmatch(content)
            if match is None:
                raise Refused(f"line {number}: not a key with a value: {content}")
            key, value = match.groups()
            if key in found:
                raise Refused(f"line {number}: {key} a second time")
            if value is not None:
                found[key] = scalar(number, value)
            else:
                found[key] = self.block() if self.indent() > indent else None
        self.ended(indent)
        return found

    def ended(self, indent):
        if self.indent() >= indent:
            raise Refused(f"line {self.rest[0][0]}: does not fit in: {self.rest[0][2]}")


def load(text):
    lines = Lines(text)
    if not lines.rest or lines.indent() != 0:
        raise Refused("does not begin at the margin")
    found = lines.block()
    if lines.rest:
        raise Refused(f"line {lines.rest[0][0]}: does not fit in: {lines.rest[0][2]}")
    return found
