"""Who may do what, by Django's own permissions: "view" to see things, what the action names to change them."""

from __future__ import annotations

from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.views import APIView


class ModelPermissions(DjangoModelPermissions):
    """Django's, and "view" is asked for as well."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


def needs(codename: str) -> type[BasePermission]:
    """A permission class that asks for one permission, such as "transfers.cancel_job"."""

    class Needs(BasePermission):
        message = f"this needs the permission {codename}"

        def has_permission(self, request: Request, view: APIView) -> bool:
            return bool(request.user and request.user.has_perm(codename))

    return Needs
