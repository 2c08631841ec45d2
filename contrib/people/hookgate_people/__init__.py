"""Users, roles, API tokens and an audit of what they do, in the store of a gateway."""

from hookgate_people.audit import Audit, By, Entry, Wanted
from hookgate_people.errors import CodeNeeded, Denied, InUse, TooMany
from hookgate_people.factors import Factor
from hookgate_people.hashing import new_password
from hookgate_people.naming import FOLLOW, sees_the_document
from hookgate_people.notices import Notices
from hookgate_people.outside import Outsider
from hookgate_people.people import People, Person, address, people_of
from hookgate_people.roles import Role, RoleChange
from hookgate_people.sessions import IDLE, LIFETIME, Held, Session, forgery_token
from hookgate_people.tokens import Token
from hookgate_people.users import User, UserChange

__all__ = [
    "FOLLOW",
    "IDLE",
    "LIFETIME",
    "Audit",
    "By",
    "CodeNeeded",
    "Denied",
    "Entry",
    "Factor",
    "Held",
    "InUse",
    "Notices",
    "Outsider",
    "People",
    "Person",
    "Role",
    "RoleChange",
    "Session",
    "Token",
    "TooMany",
    "User",
    "UserChange",
    "Wanted",
    "address",
    "forgery_token",
    "new_password",
    "people_of",
    "sees_the_document",
]
