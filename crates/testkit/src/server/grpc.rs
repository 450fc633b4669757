//! A gRPC server with the standard health service, as grpc-go has it.

use std::path::PathBuf;

use crate::Result;
use crate::go::GoTool;

/// Statically linked, so that it runs in any container: `grpc-health :PORT`. The server as a whole and the service
/// `shop.Orders` are SERVING, the service `shop.Mail` is NOT_SERVING.
pub(super) const HEALTH: GoTool = GoTool {
    program: "grpc-health",
    module: "google.golang.org/grpc",
    version: "v1.84.0",
    package: "google.golang.org/grpc/health",
    flags: "",
    main: r#"package main

import (
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server, service := grpc.NewServer(), health.NewServer()
	service.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_SERVING)
	service.SetServingStatus("shop.Mail", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(server, service)
	log.Fatal(server.Serve(listener))
}
"#,
};

/// The program, built if it is not in the cache.
pub fn grpc_health() -> Result<PathBuf> {
    HEALTH.ensure()
}
