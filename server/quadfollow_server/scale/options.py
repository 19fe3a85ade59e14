"""What a scaled server is told, by ``serve run … NAME=VALUE`` or under ``args`` in Ray Serve's configuration file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from quadfollow_server.access import Access
from quadfollow_server.settings import Settings


class Options(BaseModel):
    """Everything about a scaled server that can be chosen; what it shares with ``quadfollow serve`` means the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ()
    """Files that every machine of the cluster has, or names of shipped models; NAME,NAME on the command line."""
    device: str = "auto"
    tracker: str = "kalman"
    cpus: float = Field(1.0, ge=0)
    """Cores reserved for a replica, which computes with as many threads."""
    gpus: float = Field(0.0, ge=0)
    """GPUs reserved for a replica; with 0.25 four of them share one."""
    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(8, ge=1)
    busy: float = Field(0.6, gt=0, le=1)
    """Share of its time that a replica should be at work: above it there will be more of them, below it fewer."""
    downscale_delay_s: float = Field(60.0, ge=0)
    """How long fewer replicas must have been enough before there are fewer."""
    host: str = "127.0.0.1"
    """Address the gateway listens on for clients; 0.0.0.0 for all of its machine."""
    zmq_port: int = 5555
    pub_port: int = 5556
    keys: str | None = None
    """Folder of keys that clients must show, on every machine."""
    insecure_public: bool = False
    allow_origins: tuple[str, ...] = ()
    """Web origins whose pages may call this server, and host names it goes by; ORIGIN,ORIGIN on the command line."""
    gateway_resource: str | None = None
    """Name of a resource of Ray's: the gateway runs where there is some, so that its address is known beforehand."""

    @field_validator("models", "allow_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Options:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, min_replicas {self.min_replicas}")
        self.settings()
        return self

    def settings(self) -> Settings:
        """What gateway and replicas are told.

        Raises:
            BadInput: they cannot be.
        """
        return Settings(
            self.models,
            host=self.host,
            zmq_port=self.zmq_port,
            pub_port=self.pub_port,
            device=self.device,
            threads=max(1, round(self.cpus)),
            tracker=self.tracker,
            access=Access(self.keys, self.insecure_public, allow_origins=self.allow_origins),
        )
