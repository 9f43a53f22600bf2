"""How lists are cut into pages."""

from rest_framework.pagination import CursorPagination, PageNumberPagination


class Pages(PageNumberPagination):
    """`?page=2&page_size=200`, with the number of rows."""

    page_size_query_param = "page_size"
    max_page_size = 500


class History(CursorPagination):
    """For tables with millions of rows: `next` and `previous` are addresses, and nothing is counted."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    ordering = ("-ended_at", "-id")


class EventPages(CursorPagination):
    """Oldest first; what comes later follows on the pages after."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    ordering = ("id",)
