"""A provider "hashicorp/google" that knows every argument and makes nothing: checks terraform/ without a cloud."""
