# The bucket with the weights, made here unless it exists, and one with the packages that the machines run.

resource "google_storage_bucket" "weights" {
  count = var.existing == "" ? 1 : 0

  name                        = "${var.name}-weights-${var.project}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  deletion_policy             = var.deletion_protection ? "PREVENT" : "DELETE"
  force_destroy               = !var.deletion_protection

  versioning {
    enabled = true
  }

  # A job holds on to the generation that it began with: replaced files stay for a while.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 7
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 2
    }
  }
}

resource "google_storage_bucket" "packages" {
  name                        = "${var.name}-packages-${var.project}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # it holds nothing that `make deploy` does not make anew

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }
}

# Named by its content, so a new version is a new object; a machine that is repaired with the old one still finds it.
resource "google_storage_bucket_object" "package" {
  name            = basename(var.package)
  bucket          = google_storage_bucket.packages.name
  source          = var.package
  deletion_policy = "ABANDON"

  lifecycle {
    create_before_destroy = true
  }
}
