import vzarr

vzarr.migrate("refs.json", "humidity.icechunk")
