"""Keep secrets out of everything that is written, shown or stored."""

import os
import re
from pathlib import Path
from typing import Any

_NAMES = re.compile(r"(?i)(api_?key|access_?key|token|secret|passw(or)?d|credential)")
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|tgp_[A-Za-z0-9_-]{16,}|r8_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)"
    r"|(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=X-Amz-Signature=)[0-9a-fA-F]{16,}"
    r"|(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)"
)
_SHORTEST = 8  # masking a shorter value would remove ordinary words

MASK = "[secret]"


def redact(text: str) -> str:
    """The text with every secret masked: values of secret-like environment variables, and well-known key shapes."""
    for name, value in os.environ.items():
        # a path, as in GOOGLE_CREDENTIALS, is not the secret itself, and messages need paths
        if len(value) >= _SHORTEST and _NAMES.search(name) and not Path(value).is_absolute():
            text = text.replace(value, MASK)
    return _SHAPES.sub(MASK, text)


def looks_like_a_secret(value: Any) -> bool:
    """Whether a string, or any string inside lists and dicts, has the shape of a key."""
    if isinstance(value, dict):
        return any(looks_like_a_secret(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return any(looks_like_a_secret(part) for part in value)
    return isinstance(value, str) and _SHAPES.search(value) is not None
