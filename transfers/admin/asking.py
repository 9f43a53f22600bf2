"""Admin actions that ask first: what is to be set, and then for all the rows that were ticked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from django import forms
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

SHOWN_ROWS = 20
GIVEN = "given"  # the button of the form


def asked(request: HttpRequest) -> bool:
    """Whether the form comes back; else the action has just been chosen from the list."""
    return GIVEN in request.POST


def ask(
    admin: ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], action: str, title: str, form: forms.Form
) -> TemplateResponse:
    """The page between the list and the action; it posts back to the action, with the same rows."""
    count = rows.count()
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.model._meta,
        "form": form,
        "action": action,
        "given": GIVEN,
        "checkbox": ACTION_CHECKBOX_NAME,
        "ticked": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across", "0"),
        "count": count,
        "rows": rows[:SHOWN_ROWS],
        "more": max(0, count - SHOWN_ROWS),
    }
    return TemplateResponse(request, "admin/ask.html", context)
