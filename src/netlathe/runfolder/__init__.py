"""The folder of a long job, which a later call goes on with.

identity   what decides a result, as JSON values, and how two of them differ
folder     a folder that is open for a job: its lock, its kind and identity in run.json, its state
lock       locks of the operating system
document   the JSON files in it, read with an error that names the file
lines      files of lines that are appended to
steps      what is done once      result   what the job ended with
"""
