"""The local stack: every server Aisle needs, as real processes under one supervisor.

Plain Python, no Django: it must run before there are settings, and it writes the file they read.
`manage.py up` is its command; `lifecycle` the place to start reading.
"""
