//! Geofence files: read, linted, compared.
