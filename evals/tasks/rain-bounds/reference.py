import vzarr

vzarr.build("rain/*.nc", "rain.icechunk", concat_dim="time", workers=1)
