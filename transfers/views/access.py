"""Who may see a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required, user_passes_test
from django.core.exceptions import PermissionDenied

View = Callable[..., Any]


def needs(*permissions: str) -> Callable[[View], View]:
    """The page asks for a log-in, and answers 403 to users with none of the permissions."""

    def may(user: Any) -> bool:
        if any(user.has_perm(permission) for permission in permissions):
            return True
        raise PermissionDenied

    def decorate(view: View) -> View:
        return login_required(user_passes_test(may)(view))

    return decorate
