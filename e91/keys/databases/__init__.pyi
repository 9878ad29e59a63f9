from .addresses import database_at as database_at
from .interface import KeyDatabase as KeyDatabase
from .postgresql import PostgresDatabase as PostgresDatabase
from .sqlite import SqliteDatabase as SqliteDatabase
