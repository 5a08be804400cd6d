#!/bin/sh
# List the named data sets, describe one, and report what this machine supports.
# Look at: the column "found" of the first table; "bf16" in the last one.
set -eu
dlnotes data list
dlnotes data info digits
dlnotes doctor
