#!/usr/bin/python3
"""Starts Kafka as its images do: `KAFKA_ADVERTISED_LISTENERS` becomes `advertised.listeners`, and so on.

`configure`, `kafka-storage` and `launch` are its three parts, which testcontainers calls one after the other.
"""

import os
import subprocess
import sys
from pathlib import Path

PROPERTIES = Path("/etc/kafka/kafka.properties")
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
NOT_PROPERTIES = ("KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS")
JAVA = [
    "java",
    *os.environ.get("KAFKA_HEAP_OPTS", "-Xms256m -Xmx512m").split(),
    *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=/opt/kafka/config/log4j2.properties"),
    *("-cp", "/opt/kafka/libs/*"),
]


def configure() -> None:
    """Write the properties that the variables name."""
    lines = {"log.dirs": "/var/lib/kafka/data"}
    for name, value in os.environ.items():
        if name.startswith("KAFKA_") and name not in NOT_PROPERTIES:
            key = name.removeprefix("KAFKA_").lower().replace("___", "-").replace("__", "\0").replace("_", ".")
            lines[key.replace("\0", "_")] = value
    PROPERTIES.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")


def storage(arguments: list[str]) -> None:
    """Kafka's own tool for it."""
    subprocess.run([*JAVA, "kafka.tools.StorageTool", *arguments], check=True)


def launch() -> None:
    """Become Kafka."""
    os.execvp("java", [*JAVA, "kafka.Kafka", str(PROPERTIES)])  # noqa: S606


def main(name: str, arguments: list[str]) -> None:
    """What the program is called by, or told, is done; all of it where that is nothing."""
    if name == "kafka-storage":
        storage(arguments)
    elif arguments == ["configure"]:
        configure()
    elif arguments == ["launch"]:
        launch()
    else:
        configure()
        storage(["format", "--ignore-formatted", "-t", os.environ.get("CLUSTER_ID", CLUSTER), "-c", str(PROPERTIES)])
        launch()


if __name__ == "__main__":
    main(Path(sys.argv[0]).name, sys.argv[1:])
