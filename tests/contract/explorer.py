"""Schemathesis on the document: one person explores it, and everybody else sends the same requests after them."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson
import schemathesis
from requests import Session
from schemathesis import AuthContext, Case, HookContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import ignored_auth

from app.core.preconditions import PLAIN_LIST

Headers = Mapping[str, str]

MEANT = {
    "account_needed": "who brings a token without an account has to make one",
    "bad_permissions": "which permissions there are, the catalogue says",
    "idempotency_mismatch": "a key is used for one request, and generated keys are few",
    "invalid_cursor": "a cursor is opaque: only one that was handed out is any good",
    "invitation_refused": "a token is opaque: only one that was mailed is any good",
    "link_refused": "a token is opaque: only one that was mailed is any good",
    "precondition_failed": "which version there is, the ETag says",
    "role_unknown": "which roles there are, the tenant says",
    "unknown_permission": "which permissions there are, the catalogue says",
    "unknown_role": "which roles there are, the tenant says",
    "weak_password": "how easy a password is to guess, no schema can say",
    "webhook_refused": "only the payment provider can sign",
    "wrong_password": "the present password is a secret",
}
"""Why a request that fits the document is refused all the same; every other such refusal is a fault."""

PHASES = ("examples", "coverage", "fuzzing", "stateful")
METHODS = ["put", "trace"]
"""Methods that no operation has, to be refused; one beside the usual ones, and one that servers echo."""


def for_strict_reading(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the catch-all: a status that an operation does not name is a fault then."""
    strict = deepcopy(document)
    for item in strict["paths"].values():
        for operation in item.values():
            del operation["responses"]["default"]
    return strict


@dataclass
class Explorer:
    """One run of the engine as one person; `others` repeat its requests, all of them or each the next one in turn."""

    address: str
    document: dict[str, Any]
    me: Headers
    others: Mapping[str, Headers] = field(default_factory=dict)
    in_turn: bool = False
    newcomer: Callable[[], Headers] | None = None
    """Makes somebody new for each request."""
    requests: Counter[str] = field(default_factory=Counter)
    """How many were sent, by person."""
    answers: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)
    session: Session = field(default_factory=Session)

    def run(self, phases: Sequence[str], examples: int, wanted: Callable[[str], bool]) -> None:
        """Explore the operations whose label (`POST /api/v1/projects`) is wanted."""
        schema: BaseSchema = schemathesis.openapi.from_dict(
            for_strict_reading(self.document), config=self.config(phases, examples)
        )
        schema = schema.include(func=lambda context: wanted(context.operation.label))
        self.hook(schema)
        self.turns = itertools.cycle(self.others)
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                self.faults.append(f"{event}")
            if isinstance(event, events.ScenarioFinished):
                self.faults += self.faults_of(event)

    def config(self, phases: Sequence[str], examples: int) -> SchemathesisConfig:
        """Return the same run each time: all checks, and everything that fails."""
        return SchemathesisConfig.from_dict(
            {
                "base-url": self.address,
                "headers": dict(self.me),
                "seed": 1,
                "continue-on-failure": True,
                # In a query the document cannot say that text holds no NUL; tests/load sends one everywhere.
                "generation": {"allow-x00": False, "max-examples": examples, "deterministic": True, "no-shrink": True},
                "phases": {phase: {"enabled": phase in phases} for phase in PHASES}
                | {"coverage": {"enabled": "coverage" in phases, "unexpected-methods": METHODS}},
            }
        )

    def hook(self, schema: BaseSchema) -> None:
        """Have every request counted and repeated, or sent by somebody new."""

        def after_call(_: HookContext, case: Case[Any], response: Response) -> None:
            if case.id not in self.repeated:
                self.requests["the explorer"] += 1
                self.answers[response.status_code] += 1
                names = [next(self.turns)] if self.in_turn and self.others else list(self.others)
                for name in names:
                    self.repeat(case, name, response)

        schema.hook(after_call)
        if self.newcomer is not None:
            schema.auth(refresh_interval=None)(newcomers(self.newcomer))

    def repeat(self, case: Case[Any], name: str, first: Response) -> None:
        """Send a request once more, as somebody else, and hold the answer against the document."""
        again = self.as_other(case, self.others[name])
        if again is None:
            return
        self.repeated.add(again.id)
        response = again.call(session=self.session)
        self.requests[name] += 1
        self.answers[response.status_code] += 1
        try:
            # That nobody comes in without a token, the engine tries itself for each operation.
            again.validate_response(response, headers=dict(again.headers), excluded_checks=[ignored_auth])
        except FailureGroup as group:
            for failure in group.exceptions:
                if not is_meant(failure, response, case) and not is_known(failure, response, first):
                    self.faults.append(described(name, case, failure, response))

    @staticmethod
    def as_other(case: Case[Any], headers: Headers) -> Case[Any] | None:
        """Return the request with another person's headers; None where those would mend what is wrong with it."""
        if case.meta is None or case.meta.is_negative_at(ParameterLocation.HEADER):
            return None
        own = case.headers.copy()
        own.pop("Authorization", None)
        own.update(headers)
        return case.derive(headers=own)

    def faults_of(self, event: events.ScenarioFinished) -> Iterator[str]:
        """Yield in words what the engine's own checks found."""
        recorder = event.recorder
        for case_id, checks in recorder.checks.items():
            for info in (check.failure_info for check in checks if check.failure_info is not None):
                response, failure = recorder.interactions[case_id].response, info.failure
                case = recorder.cases[case_id].value
                if response is None or not is_meant(failure, response, case):
                    yield described("the explorer", case, failure, response)


def newcomers(make: Callable[[], Headers]) -> type[Any]:
    """Return what signs each request in as somebody new."""

    class Newcomers:
        """What Schemathesis asks for credentials."""

        def get(self, _: Case[Any], __: AuthContext) -> Headers:
            """Return the headers of somebody new."""
            return make()

        def set(self, case: Case[Any], data: Headers, _: AuthContext) -> None:
            """Send them."""
            case.headers.update(data)

    return Newcomers


def is_meant(failure: Any, response: Response, case: Case[Any]) -> bool:
    """Tell whether a request that fits the document was refused for a reason that it cannot tell."""
    if type(failure).__name__ != "RejectedPositiveData":
        return False
    problem = orjson.loads(response.content)
    return problem["code"] in MEANT or (problem["code"] in {"validation_error", "bad_request"} and does_not_fit(case))


def does_not_fit(case: Case[Any]) -> bool:
    """Tell whether Schemathesis takes for fitting what is not.

    It puts the `id` of a built-in role, which is null, into a path; it sends an If-Match that the pattern in the
    document refuses; and JSON schema calls 7.0 an integer, which no field of ours is asked to take.
    """
    has_null = any(str(value) in {"null", "None"} for value in case.path_parameters.values())
    if re.search(PLAIN_LIST, str(case.headers.get("If-Match", "*"))) is None:
        return True
    return has_null or any(number.is_integer() for number in floats_of(case.body))


def floats_of(value: Any) -> Iterator[float]:
    """Yield the numbers of a body that are written with a point."""
    if isinstance(value, float):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from floats_of(part)


def is_known(failure: Any, response: Response, first: Response) -> bool:
    """Tell whether the explorer was refused likewise: then the engine has judged it, with all that it knows of it."""
    return type(failure).__name__ == "RejectedPositiveData" and response.status_code == first.status_code


def described(name: str, case: Case[Any], failure: Any, response: Response | None) -> str:
    """Return one line for a fault, with what was sent and what came."""
    answer = "nothing" if response is None else f"{response.status_code} {response.content[:300]!r}"
    sent = f"{case.method} {case.formatted_path} {case.query} {dict(case.headers)} {str(case.body)[:300]}"
    return f"{name}: {case.operation.label}: {type(failure).__name__} {failure}: {sent} -> {answer}"
