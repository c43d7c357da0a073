import vzarr

vzarr.build("years/*.nc", "daily.icechunk", concat_dim="time", workers=1)
