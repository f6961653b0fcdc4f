"""The DICOM sender: C-STORE, C-FIND and C-ECHO as SCU; and who speaks to other peers outside.

It imports nothing by itself: what only keeps the audit trail needs no pynetdicom, which takes 7 MB.
"""
