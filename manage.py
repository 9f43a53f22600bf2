#!/usr/bin/env python
"""The way in for people: `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
    from django.core.management import execute_from_command_line
    from environs.exceptions import EnvError

    from fdist_site.variables import ConfError

    try:
        execute_from_command_line(sys.argv)
    except (ConfError, EnvError) as error:  # a variable cannot be used, and the message names it
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
