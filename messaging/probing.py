"""Why a connection to Kafka fails.

A client's own error says little: `connection closed` is a wrong password, TLS that meets a plain port, or a broker that
sends its clients to a name which only its own network knows. So after a failure each step is tried by itself: the name,
the port, TLS, Kafka's greeting, the user, and the addresses under which the brokers want to be called. The first step
that fails is the reason, with what to do about it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from kafka_saga.messaging import broken_writes
from kafka_saga.messaging.addresses import Address
from kafka_saga.messaging.errors import BrokerRefusesError, BrokerUnreachableError
from kafka_saga.messaging.greeting import Greeting, accepts_tls, greet, hang_up
from kafka_saga.messaging.settings import OAUTHBEARER, KafkaSettings
from kafka_saga.messaging.tokens import TokenError
from kafka_saga.messaging.waiting import abandon, describe
from kafka_saga.runtime import limits
from kafka_saga.runtime.errors import BrokerUnavailableError

_FAILURES = (OSError, EOFError, ValueError, AssertionError, TimeoutError, kafka_errors.KafkaError)
"""What a connection can fail with, whatever is at its other end."""


async def reach(settings: KafkaSettings, context: ssl.SSLContext | None) -> None:
    """Return as soon as one of the bootstrap servers answers, whatever it says.

    Whoever connects asks this first: one that takes connections and says nothing, as a frozen broker does, would
    otherwise be waited for by each step of connecting, and again by each step that looks for the reason.

    Args:
        settings: where the servers are.
        context: for TLS, where it is spoken.

    Raises:
        BrokerUnreachableError: none answers within PROBE_TIMEOUT_MS.

    """
    asking = {asyncio.ensure_future(_silence(address, context)) for address in settings.addresses}
    waiting, silences = set(asking), list[BrokerUnreachableError]()
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for silence in (task.result() for task in done):
                if silence is None:
                    return
                silences.append(silence)
    finally:
        for task in asking:
            task.cancel()
            abandon(task)
    raise silences[0]


async def _silence(address: Address, context: ssl.SSLContext | None) -> BrokerUnreachableError | None:
    """What to say of a server that does not answer; None where it does, or refuses to."""
    connecting = asyncio.ensure_future(_unreachable(address))
    try:
        if await greet(address, context) is not Greeting.SILENCE:
            return None
    except (OSError, ValueError):  # ValueError: no name could be like that
        return None
    else:
        return await connecting or _no_kafka(address, Greeting.SILENCE)
    finally:
        connecting.cancel()
        abandon(connecting)


async def probe(settings: KafkaSettings) -> None:
    """Return when a broker takes us, and every broker that it names can be reached.

    Raises:
        BrokerRefusesError: a broker is there, and the settings do not suit it.
        BrokerUnreachableError: nobody is there, or not where the brokers send us.
        ConfigError: a file that the settings name cannot be used.

    """
    await _Probe(settings, settings.client_options()).run()


async def explained(settings: KafkaSettings, error: BrokerUnavailableError) -> BrokerUnavailableError:
    """What to raise for a connection that failed with `error`: the reason, where there still is one."""
    if type(error) is not BrokerUnavailableError:  # a subclass knows more
        return error
    try:
        await probe(settings)
    except BrokerUnavailableError as reason:
        return reason
    return error


@dataclass(frozen=True, slots=True)
class _Probe:
    settings: KafkaSettings
    options: dict[str, Any]

    async def run(self) -> None:
        await reach(self.settings, self.options.get("ssl_context"))
        asked, brokers = await self._first_answer()
        advertised = [(node, address) for node, address in brokers.items() if address != asked]
        await asyncio.gather(*(self._check_advertised(asked, node, address) for node, address in advertised))

    async def _first_answer(self) -> tuple[Address, dict[int, Address]]:
        """The first server that takes us, and the brokers it knows; the others are not waited for."""
        asking = {asyncio.ensure_future(self._brokers(address)): address for address in self.settings.addresses}
        waiting, failures = set(asking), list[BaseException]()
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        return asking[task], task.result()
                    failures.append(error)
        finally:
            for task in asking:
                task.cancel()
                abandon(task)
        raise self._telling(failures)

    def _telling(self, failures: Sequence[BaseException]) -> BaseException:
        """The failure that says most: of who answers, before those of addresses where nobody does."""
        if all(isinstance(failure, _NobodyError) for failure in failures):
            return BrokerUnreachableError.nobody_at(self.settings.bootstrap_servers)
        return min(failures, key=_rank)

    async def _brokers(self, address: Address) -> dict[int, Address]:
        """The brokers that the one at `address` knows, by their ids."""
        try:
            connection = await self._connect(address, **self._credentials)
        except _FAILURES as error:
            raise await self._reason(address, error) from error
        try:
            answer = await connection.send(MetadataRequest([]))
        except _FAILURES as error:
            raise await self._reason(address, error) from error
        finally:
            await _close(connection)
        return {broker[0]: Address(broker[1], broker[2]) for broker in answer.brokers}

    async def _check_advertised(self, asked: Address, node: int, address: Address) -> None:
        try:
            connection = await self._connect(address, **self._credentials)
        except _FAILURES as error:
            reason = await self._reason(address, error)
            raise BrokerUnreachableError(
                f"Kafka answers at {asked}, but sends its clients on to broker {node} at {address}, and that fails: "
                f"{reason.found}",
                "correct the broker's advertised.listeners, or make that address known and reachable from here",
            ) from error
        await _close(connection)

    async def _connect(self, address: Address, **options: Any) -> AIOKafkaConnection:
        broken_writes.install()
        connection = AIOKafkaConnection(
            address.host,
            address.port,
            client_id=self.settings.client_id,
            request_timeout_ms=limits.PROBE_TIMEOUT_MS,
            **options,
        )
        try:
            await connection.connect()
        except BaseException:
            await _close(connection)
            raise
        return connection

    @property
    def _credentials(self) -> dict[str, Any]:
        own = {"client_id", "bootstrap_servers", "request_timeout_ms"}
        return {name: value for name, value in self.options.items() if name not in own}

    async def _reason(self, address: Address, error: BaseException) -> BrokerUnreachableError:
        """Why the connection to `address` failed with `error`: the first step that fails by itself."""
        nobody = await _unreachable(address)
        if nobody is not None:
            return nobody
        refused = await self._tls_reason(address) if self.settings.uses_tls else await self._plain_reason(address)
        if refused is None:
            refused = await self._sasl_reason(address, error)
        if refused is not None:
            return refused
        return BrokerUnreachableError(
            f"Kafka at {address} does not answer as it should: {describe(error)}", "its own log may say why"
        )

    async def _plain_reason(self, address: Address) -> BrokerUnreachableError | None:
        greeting = await greet(address, None)
        if greeting is Greeting.KAFKA:
            return None
        if await accepts_tls(address):
            protocol = "SASL_SSL" if self.settings.uses_sasl else "SSL, or SASL_SSL where it wants a user"
            return self._wrong_protocol(f"{address} speaks TLS", protocol)
        return _no_kafka(address, greeting)

    async def _tls_reason(self, address: Address) -> BrokerUnreachableError | None:
        try:
            greeting = await greet(address, self.options["ssl_context"])
        except ssl.SSLCertVerificationError as error:
            return self._bad_certificate(address, error)
        except OSError as error:
            plain = await greet(address, None)
            if plain is Greeting.KAFKA:
                sasl = self.settings.uses_sasl
                protocol = "SASL_PLAINTEXT" if sasl else "PLAINTEXT, or SASL_PLAINTEXT where it wants a user"
                return self._wrong_protocol(f"{address} does not speak TLS", protocol)
            # Only an alert is a refusal: a proxy, too, closes connections while the broker behind it is away.
            if "ALERT" in (getattr(error, "reason", None) or ""):
                return self._bad_handshake(address, error)
            return _no_kafka(address, plain)
        return None if greeting is Greeting.KAFKA else _no_kafka(address, greeting)

    async def _sasl_reason(self, address: Address, error: BaseException) -> BrokerUnreachableError | None:
        """What the broker says about users: whether it wants one, by which mechanism, and whether it took ours."""
        settings = self.settings
        if isinstance(error, TokenError):  # which may pass: a server was asked for it
            return BrokerUnreachableError(f"no token for Kafka at {address}: {error}", "mend what makes it")
        if isinstance(error, kafka_errors.SaslAuthenticationFailed):
            remedy = "correct sasl_username, sasl_password or sasl_mechanism (SAGA_KAFKA__SASL_PASSWORD)"
            if settings.sasl_mechanism == OAUTHBEARER:
                remedy = "is it out of date, or meant for another audience? The broker's log says why"
            found = f"Kafka at {address} refuses {settings.shown_as} by {settings.sasl_mechanism}"
            return BrokerRefusesError(found, remedy)
        offered = await self._mechanisms(address)
        if settings.uses_sasl and offered is None:
            return self._wrong_protocol(f"{address} has no users", "SSL" if settings.uses_tls else "PLAINTEXT")
        if not settings.uses_sasl and offered is not None:
            protocol = "SASL_SSL" if settings.uses_tls else "SASL_PLAINTEXT"
            return self._wrong_protocol(f"{address} wants a user", f"{protocol}, with sasl_username and sasl_password")
        if offered is not None and settings.sasl_mechanism not in offered:
            return BrokerRefusesError(
                f"Kafka at {address} does not offer {settings.sasl_mechanism}",
                f"set sasl_mechanism to one of those that it does offer: {', '.join(offered)}",
            )
        return None

    async def _mechanisms(self, address: Address) -> list[str] | None:
        """The SASL mechanisms that the broker offers on this port; None where it wants no user."""
        protocol = "SSL" if self.settings.uses_tls else "PLAINTEXT"
        options = {"security_protocol": protocol, "ssl_context": self.options.get("ssl_context")}
        try:
            connection = await self._connect(address, **options)
        except _FAILURES:
            return None
        try:
            answer = await connection.send(SaslHandShakeRequest(self.settings.sasl_mechanism))
        except _FAILURES:
            return None
        finally:
            await _close(connection)
        return None if answer.error_code == kafka_errors.IllegalSaslStateError.errno else answer.enabled_mechanisms

    def _wrong_protocol(self, found: str, protocol: str) -> BrokerRefusesError:
        return BrokerRefusesError(
            f"{found}, and security_protocol is {self.settings.security_protocol}",
            f"set it to {protocol} (SAGA_KAFKA__SECURITY_PROTOCOL), or use the port of another listener",
        )

    def _bad_certificate(self, address: Address, error: ssl.SSLCertVerificationError) -> BrokerRefusesError:
        if "hostname" in error.verify_message.lower() or "ip address" in error.verify_message.lower():
            remedy = "use a name that stands in it, or have one made for this name"
        elif "expired" in error.verify_message or "not yet valid" in error.verify_message:
            remedy = "renew it, or correct this machine's clock"
        else:
            whose = self.settings.ssl_cafile or "the system's certificates"
            remedy = f"set ssl_cafile to the certificate of the authority that signed it (now: {whose})"
        found = f"the certificate of Kafka at {address} is not accepted ({error.verify_message.rstrip('.')})"
        return BrokerRefusesError(found, remedy)

    def _bad_handshake(self, address: Address, error: OSError) -> BrokerRefusesError:
        words = str(getattr(error, "reason", None)).replace("_", " ").lower()
        if self.settings.ssl_certfile is None:
            remedy = "it may want a client certificate: set ssl_certfile and ssl_keyfile"
        else:
            remedy = f"it may not know who signed our certificate, {self.settings.ssl_certfile}, or not accept it"
        return BrokerRefusesError(f"TLS with Kafka at {address} fails ({words})", remedy)


async def _close(connection: AIOKafkaConnection) -> None:
    """Close it and wait until it is gone, where it ever was."""
    closed = connection.close()
    if connection._protocol is not None:  # noqa: SLF001 -- aiokafka says in no other way whether it was open
        await asyncio.wait({closed}, timeout=limits.PROBE_TIMEOUT_MS / 1000)


class _NobodyError(BrokerUnreachableError):
    """Nothing listens there."""


def _rank(failure: BaseException) -> int:
    if isinstance(failure, BrokerRefusesError):
        return 0
    return 2 if isinstance(failure, _NobodyError) else 1


async def _unreachable(address: Address) -> BrokerUnreachableError | None:
    """Why not even a bare connection to `address` comes about; None where it does."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.PROBE_TIMEOUT_MS / 1000):
            await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:  # UnicodeError: no name could be like that
        words = getattr(error, "strerror", None) or "no answer from the name server"
        remedy = "correct the name, or the name server's entry"
        return BrokerUnreachableError(f"the host name '{address.host}' does not resolve ({words})", remedy)
    try:
        async with asyncio.timeout(limits.PROBE_TIMEOUT_MS / 1000):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except ConnectionRefusedError:
        return _NobodyError(f"nothing listens at {address}", "is Kafka running there?")
    except TimeoutError:
        found = f"no answer from {address} within {limits.PROBE_TIMEOUT_MS // 1000} s"
        return BrokerUnreachableError(found, "is a firewall in between, the machine off, or the broker frozen?")
    except OSError as error:
        found = f"{address} cannot be reached ({error.strerror or error})"
        return BrokerUnreachableError(found, "check the address and the network")
    await hang_up(writer)
    return None


def _no_kafka(address: Address, greeting: Greeting) -> BrokerUnreachableError:
    if greeting is Greeting.SILENCE:
        found = f"{address} accepts connections and does not answer within {limits.PROBE_TIMEOUT_MS // 1000} s"
        return BrokerUnreachableError(found, "is it Kafka's port, and is the broker well?")
    return BrokerUnreachableError(f"{address} does not answer as Kafka does", "is it the port of something else?")
