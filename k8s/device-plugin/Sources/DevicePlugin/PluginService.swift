internal import GRPCCore
internal import Inventory
internal import KubeletAPI
internal import Resources

/// What the kubelet calls.
struct PluginService: V1beta1_DevicePlugin.SimpleServiceProtocol {
    let feed: Feed
    let settings: Settings
    let counters: Counters
    /// Told when a ListAndWatch begins and when it has ended.
    let streamChanged: @Sendable (_ isOpen: Bool) -> Void

    /// What an allocation needs to know.
    struct Settings: Sendable {
        var injection: Allocation.Injection
        var seatDirectory: String
        var deviceRoot: String
        var gids: @Sendable (RDMADevice) -> [GID]
    }

    /// The kubelet writes its checkpoint for each message: five a second are enough.
    private static let messageGap = Duration.milliseconds(200)

    /// For Register as for GetDevicePluginOptions: kubelets of different ages read one or the other.
    static func options(_ definition: ResourceDefinition) -> V1beta1_DevicePluginOptions {
        var options = V1beta1_DevicePluginOptions()
        if case .devices = definition.kind { options.getPreferredAllocationAvailable = true }
        return options
    }

    func getDevicePluginOptions(
        request: V1beta1_Empty, context: ServerContext
    ) async throws -> V1beta1_DevicePluginOptions {
        Self.options(feed.pool.definition)
    }

    func listAndWatch(
        request: V1beta1_Empty, response: RPCWriter<V1beta1_ListAndWatchResponse>, context: ServerContext
    ) async throws {
        let subscription = feed.subscribe()
        streamChanged(true)
        defer {
            subscription.finish()
            streamChanged(false)
        }
        // gRPC does not cancel this task when the peer goes or the server closes: the feed's end has to end it.
        try await withRPCCancellationHandler {
            var told: [Pool.Entry]?
            for await pool in subscription.pools where pool.entries != told {
                told = pool.entries
                try await response.write(Self.message(pool))
                counters.count(.listMessages)
                try await Task.sleep(for: Self.messageGap)
            }
        } onCancelRPC: {
            subscription.finish()
        }
    }

    func getPreferredAllocation(
        request: V1beta1_PreferredAllocationRequest, context: ServerContext
    ) async throws -> V1beta1_PreferredAllocationResponse {
        let pool = feed.pool
        var response = V1beta1_PreferredAllocationResponse()
        response.containerResponses = request.containerRequests.map { container in
            var answer = V1beta1_ContainerPreferredAllocationResponse()
            answer.deviceIds = PreferredAllocation.choose(
                Int(container.allocationSize), of: container.availableDeviceIds,
                required: container.mustIncludeDeviceIds, in: pool)
            return answer
        }
        return response
    }

    func allocate(
        request: V1beta1_AllocateRequest, context: ServerContext
    ) async throws -> V1beta1_AllocateResponse {
        let pool = feed.pool
        var response = V1beta1_AllocateResponse()
        for container in request.containerRequests {
            do throws(Allocation.Refusal) {
                let allocation = try Allocation(
                    container.deviceIds, of: pool, injection: settings.injection,
                    seatDirectory: settings.seatDirectory, gids: settings.gids)
                counters.count(.allocations)
                response.containerResponses.append(answer(allocation))
            } catch {
                counters.count(.refusals)
                switch error {
                case .unknown, .empty, .severalSeats: throw RPCError(code: .invalidArgument, message: "\(error)")
                case .unhealthy, .absent: throw RPCError(code: .failedPrecondition, message: "\(error)")
                }
            }
        }
        return response
    }

    func preStartContainer(
        request: V1beta1_PreStartContainerRequest, context: ServerContext
    ) async throws -> V1beta1_PreStartContainerResponse {
        V1beta1_PreStartContainerResponse()
    }

    private static func message(_ pool: Pool) -> V1beta1_ListAndWatchResponse {
        var message = V1beta1_ListAndWatchResponse()
        message.devices = pool.entries.map { entry in
            var device = V1beta1_Device()
            device.id = entry.id
            device.health = entry.isHealthy ? "Healthy" : "Unhealthy"
            if let node = entry.numaNode {
                var numa = V1beta1_NUMANode()
                numa.id = Int64(node)
                device.topology.nodes = [numa]
            }
            return device
        }
        return message
    }

    private func answer(_ allocation: Allocation) -> V1beta1_ContainerAllocateResponse {
        var answer = V1beta1_ContainerAllocateResponse()
        answer.envs = allocation.environment
        answer.devices = allocation.deviceNodes.map { name in
            var node = V1beta1_DeviceSpec()
            node.hostPath = "\(settings.deviceRoot)/infiniband/\(name)"
            node.containerPath = "/dev/infiniband/\(name)"
            node.permissions = "rw"
            return node
        }
        answer.mounts = allocation.mounts.map { entry in
            var mount = V1beta1_Mount()
            mount.hostPath = entry.hostPath
            mount.containerPath = entry.containerPath
            // A socket can be connected to all the same; what cannot be done is to replace it.
            mount.readOnly = true
            return mount
        }
        answer.cdiDevices = allocation.cdiDevices.map { name in
            var device = V1beta1_CDIDevice()
            device.name = name
            return device
        }
        return answer
    }
}
