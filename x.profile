# Host time (ns) of each part in a run, by --profile-parallelism; for --partition-profile.
control 48807
kernel 396229
core 0 18467367
core 1 18105188
core 2 18572487
core 3 18050587
core 4 18169319
core 5 17743671
core 6 18166633
core 7 17758323
slice 0 4525475
slice 1 4082860
slice 2 4146278
slice 3 4128409
slice 4 4170887
slice 5 4211099
slice 6 4153926
slice 7 4307196
channel 0 21910821
channel 1 21245088
