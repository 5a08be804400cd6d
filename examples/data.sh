#!/bin/sh
# Which data sets are here, what is in one, and what this machine can do.
# Look at: the column "found" of the first table; "bf16" in the last one.
set -eu
dlnotes data list
dlnotes data info digits
dlnotes doctor
