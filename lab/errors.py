"""The one error a laboratory raises. Nothing else belongs here."""


class LabError(RuntimeError):
    """What went wrong in the laboratory, with the name of the thing and what to do about it."""
