"""Delta tables: opening, committing, compacting, checking and repairing one (`table.CatalogTable`)."""
