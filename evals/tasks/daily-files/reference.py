import vzarr

vzarr.build("data/*.nc", "store.icechunk", concat_dim="time", workers=1)
