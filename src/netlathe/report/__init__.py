"""What a person looks at: pictures and pages that open from disk, offline."""
