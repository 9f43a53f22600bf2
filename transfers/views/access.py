"""Who may see a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required, permission_required

View = Callable[..., Any]


def needs(permission: str) -> Callable[[View], View]:
    """The page asks for a log-in, and answers 403 to users without the permission."""

    def decorate(view: View) -> View:
        return login_required(permission_required(permission, raise_exception=True)(view))

    return decorate
