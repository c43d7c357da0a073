import vzarr

vzarr.build("sst/*.nc", "sst.icechunk", concat_dim="time", irregular="copy", workers=1)
