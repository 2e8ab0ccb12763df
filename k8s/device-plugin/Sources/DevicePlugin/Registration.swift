internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import KubeletAPI
internal import NIOPosix
internal import Resources

/// Tells the kubelet about a resource whose socket listens already.
enum Registration {
    /// The kubelet calls back inside Register and allows itself ten seconds for it.
    private static let timeout = Duration.seconds(20)

    /// - Throws: Whatever went wrong, the kubelet's refusal among it.
    static func register(
        _ definition: ResourceDefinition, kubeletSocket: String, group: MultiThreadedEventLoopGroup
    ) async throws {
        var request = V1beta1_RegisterRequest()
        request.version = "v1beta1"
        request.endpoint = definition.endpoint
        request.resourceName = definition.name
        request.options = PluginService.options(definition)
        var options = CallOptions.defaults
        options.timeout = timeout
        try await withGRPCClient(
            transport: .http2NIOPosix(
                // Without an authority gRPC sends the path, which some servers refuse.
                target: .unixDomainSocket(path: kubeletSocket, authority: "localhost"),
                transportSecurity: .plaintext, eventLoopGroup: group)
        ) { [request, options] client in
            _ = try await V1beta1_Registration.Client(wrapping: client).register(request, options: options)
        }
    }

    /// The shortest text that says what happened.
    static func reason(_ error: any Error) -> String {
        guard let error = error as? RPCError else { return "\(error)" }
        return error.message.isEmpty ? "\(error.code)" : "\(error.code): \(error.message)"
    }
}
