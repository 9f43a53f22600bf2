"""The three groups that people are put into; an installation may change them afterwards."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEW = {
    "nodes": ["view_node"],
    "transfers": ["view_job", "view_jobevent", "view_jobfile", "view_jobnode", "view_shard", "view_transfer"],
}
OPERATE = {"nodes": ["drain_node"], "transfers": ["add_job", "change_job", "cancel_job"]}
ADMINISTER = {
    "nodes": ["remove_node", "view_enrolmentkey", "add_enrolmentkey", "change_enrolmentkey", "delete_enrolmentkey"],
    "transfers": ["purge_job", "delete_job", "view_jobdocument", "view_streamcursor"],
    "auth": ["view_user", "add_user", "change_user", "view_group"],
    "knox": ["view_authtoken", "add_authtoken", "delete_authtoken"],
}
GROUPS = {"viewer": [VIEW], "operator": [VIEW, OPERATE], "admin": [VIEW, OPERATE, ADMINISTER]}


def make_groups(apps, schema_editor):
    using = schema_editor.connection.alias
    for label in ("nodes", "transfers", "auth", "knox"):
        config = apps.get_app_config(label)
        config.models_module = True  # an app of the past has none, and is passed over without
        create_permissions(config, verbosity=0, using=using, apps=apps)
        del config.models_module
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    for name, parts in GROUPS.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        for part in parts:
            for label, codenames in part.items():
                found = Permission.objects.using(using).filter(content_type__app_label=label, codename__in=codenames)
                group.permissions.add(*found)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("knox", "0009_extend_authtoken_field"),
        ("nodes", "0002_removal"),
        ("transfers", "0002_reopening_and_events"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
