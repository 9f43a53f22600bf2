"""People, their groups and their tokens in the admin: Django's and knox's own, in the theme of the rest."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from knox.admin import AuthTokenAdmin as KnoxTokenAdmin
from knox.models import AuthToken
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

SHOWN_CHOICES = 20

admin.site.unregister([User, Group, AuthToken])


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("May", {"fields": ["is_active", "is_staff", "is_superuser", "groups"]}),  # permissions come by groups alone
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who manages users gives them groups, and makes nobody, nor themselves, more than that."""
        fields = (*super().get_readonly_fields(request, obj), "last_login", "date_joined")
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = bool(super().has_change_permission(request, obj))
        return may and (request.user.is_superuser or obj is None or not obj.is_superuser)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    filter_horizontal = ()  # two lists beside each other are wider than a laptop

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["size"] = SHOWN_CHOICES
        return field


@admin.register(AuthToken)
class AuthTokenAdmin(KnoxTokenAdmin, ModelAdmin):
    """A token is shown once, when it is made; only its digest is kept."""

    list_display = ["token_key", "user", "created", "expiry"]
    list_select_related = ["user"]
    search_fields = ["token_key", "user__username"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
