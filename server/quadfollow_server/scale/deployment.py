"""Lays gateway and replicas out for Ray Serve."""

from typing import Any

from quadfollow_core.errors import Unavailable
from quadfollow_server.models import Loader
from quadfollow_server.scale.options import Options

GATEWAY_CPUS = 0.5
STOP_SECONDS = 5.0
"""Longest time that a replica gets to answer what is under way."""
ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
QUIET = {"enable_access_log": False}
POLICY = "quadfollow_server.scale.policy:BusyShare"


# Ray Serve looks at the annotation itself, so it must not be put off by `from __future__ import annotations`.
def app(options: Options) -> Any:
    """Build the application: ``serve run quadfollow_server.scale:app models=follow-256 max_replicas=4``.

    Raises:
        Unavailable: Ray is not installed.
    """
    return application(options)


def application(options: Options, load: Loader | None = None) -> Any:
    """Build the application, with another way to make models where one is given.

    Raises:
        Unavailable: Ray is not installed.
    """
    try:
        from ray import serve
        from ray.serve.config import RequestRouterConfig
    except ImportError as error:
        raise Unavailable("scaling needs the extra `scale`: pip install 'quadfollow[scale]'") from error
    from quadfollow_server.scale.replica import GatewayReplica, Replica

    gateway = serve.deployment(GatewayReplica, name="gateway").options(
        num_replicas=1,
        ray_actor_options={"num_cpus": GATEWAY_CPUS, "resources": _where(options)},
        graceful_shutdown_timeout_s=STOP_SECONDS,
        logging_config=QUIET,
    )
    replica = serve.deployment(serve.ingress()(Replica), name="replica").options(
        **_scaling(options),
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        user_config={"models": list(options.models)},
        max_ongoing_requests=256,
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
        health_check_period_s=2.0,
        graceful_shutdown_timeout_s=STOP_SECONDS,
        logging_config=QUIET,
    )
    return replica.bind(options, load, gateway.bind(options))


def _where(options: Options) -> dict[str, float]:
    return {} if options.gateway_resource is None else {options.gateway_resource: 0.01}


def _scaling(options: Options) -> dict[str, Any]:
    if options.min_replicas == options.max_replicas:
        return {"num_replicas": options.min_replicas}
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    policy = AutoscalingPolicy(policy_function=POLICY, policy_kwargs={"target": options.busy})
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=options.min_replicas,
            max_replicas=options.max_replicas,
            policy=policy,
            upscale_delay_s=5.0,
            downscale_delay_s=options.downscale_delay_s,
            look_back_period_s=5.0,
            metrics_interval_s=1.0,
        )
    }
