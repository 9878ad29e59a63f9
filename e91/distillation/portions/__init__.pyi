from .partition import divide as divide
