internal import Glibc
internal import Inventory
package import Logging
internal import NIOPosix
internal import Resources

/// The plugin: looks at the node, keeps a server per resource, and tells each what it has.
package actor Coordinator {
    private let options: PluginOptions
    private let log: Logger
    private let file: ConfigurationFile
    private let scanner: Scanner
    private let cdi: CDIDirectory?
    private let injection: Allocation.Injection
    /// One thread serves every socket: a kubelet says a few words a minute.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let watcher = Watcher()
    private let events: AsyncStream<Event>
    private let event: AsyncStream<Event>.Continuation

    private var text = ""
    private var configuration = Configuration(resources: [])
    /// Whether `text` is what `configuration` was made of.
    private var isTextUsed = true
    /// Since when the file could not be read, and whether that was said.
    private var unreadable: (since: ContinuousClock.Instant, isSaid: Bool)?
    private var inventory = Inventory.empty
    private var health = HealthMonitor()
    /// Waits until a change may have lasted. One: every look sets it anew.
    private var nextLook: Task<Void, any Error>?
    private var servers: [String: (server: ResourceServer, task: Task<Void, Never>)] = [:]
    /// Servers that were told to stop, by name: the next one of that name waits for it.
    private var endings: [String: Task<Void, Never>] = [:]
    /// Why a directory cannot be watched: what was said of it.
    private var watchError: Int32?
    /// Resources whose CDI spec could not be written, by name: what was said of it.
    private var specErrors: [String: Int32] = [:]
    private var reloads = 0
    private var refusedReloads = 0
    private var kubelet: FileIdentity?
    private var kubeletSince = ContinuousClock.now
    private var kubeletRestarts = 0
    private let start = ContinuousClock.now

    /// A configuration that is away for longer is no longer being swapped.
    private static let swapTime = Duration.seconds(1)

    private enum Event: Sendable {
        case node(NodeEvent)
        case stop
    }

    /// A plugin that does nothing yet.
    package init(_ options: PluginOptions, log: Logger) {
        self.options = options
        self.log = log
        file = ConfigurationFile(options.configurationFile)
        scanner = Scanner(sysfsRoot: options.sysfsRoot, deviceRoot: options.deviceRoot)
        let directory = CDIDirectory(path: options.cdiDirectory, deviceRoot: options.deviceRoot)
        switch options.cdi {
        case .on: (cdi, injection) = (directory, .cdi)
        case .auto where directory.isWritable: (cdi, injection) = (directory, .both)
        case .auto, .off: (cdi, injection) = (nil, .nodes)
        }
        (events, event) = AsyncStream.makeStream()
    }

    /// Ends ``run()``, from any thread.
    package nonisolated func stop() { event.yield(.stop) }

    /// Serves until ``stop()``.
    /// - Throws: ``ConfigurationErrors`` or ``PluginError``, only at the start.
    package func run() async throws {
        text = try file.text()
        configuration = try check(Configuration(text, file: file.path))
        for remark in configuration.remarks { log.notice("\(file.path): \(remark)") }
        if options.cdi == .on, cdi?.isWritable != true {
            throw PluginError("--cdi on, but \(options.cdiDirectory) cannot be written")
        }
        // The last that can fail: from here on pods may depend on it.
        let metrics = try await serveMetrics()
        look()
        report()
        apply()
        watchDirectories()
        lookAtKubelet()
        for source in watcher.silent { log.notice("no events from \(source): changes are found by looking") }
        try watcher.start(every: options.pollInterval) { [event] in event.yield(.node($0)) }
        loop: for await next in events {
            switch next {
            case .stop: break loop
            case .node(.files):
                lookAtKubelet()
                reload()
                for entry in servers.values { entry.server.look() }
            case .node(.devices): refresh()
            case .node(.tick):
                watchDirectories()
                lookAtKubelet()
                reload()
                refresh()
                for entry in servers.values { entry.server.look() }
            }
        }
        log.info("stopping")
        watcher.stop()
        for entry in servers.values { entry.server.stop() }
        for entry in servers.values { await entry.task.value }
        for ending in endings.values { await ending.value }
        try? await metrics?.close()
    }

    private func lookAtKubelet() {
        guard let found = FileIdentity("\(options.pluginDirectory)/kubelet.sock"), found != kubelet else { return }
        if kubelet != nil { kubeletRestarts += 1 }
        kubelet = found
        kubeletSince = .now
    }

    /// A directory that is not there yet is tried again at the next tick, and so is one that cannot be watched.
    private func watchDirectories() {
        var failure: Int32?
        for directory in [options.pluginDirectory, file.directory, options.seatDirectory] {
            do throws(Errno) { try watcher.watch(directory: directory) } catch {
                guard error.code != ENOENT, error.code != ENOTDIR else { continue }
                failure = error.code
                guard failure != watchError else { continue }
                watchError = failure
                let remedy = error.code == ENOSPC ? ": raise fs.inotify.max_user_watches on the node" : ""
                log.warning(
                    "no events from \(directory), \(error)\(remedy); changes are found by looking (--poll-interval)")
            }
        }
        watchError = failure
    }

    /// Refuses what could not be served.
    private nonisolated func check(_ configuration: Configuration) throws(ConfigurationErrors) -> Configuration {
        var errors: [ConfigurationErrors.Entry] = []
        for (index, resource) in configuration.resources.enumerated() {
            let path = "\(options.pluginDirectory)/\(resource.endpoint)"
            // sun_path has 108 bytes, the last one zero.
            guard path.utf8.count > 107 else { continue }
            errors.append(
                .init(
                    field: configuration.nameField(index),
                    reason: "the socket \(path) has \(path.utf8.count) bytes, 107 is the limit: "
                        + "shorten the resource's name or --kubelet-root"))
        }
        guard errors.isEmpty else { throw ConfigurationErrors(file: file.path, errors: errors) }
        return configuration
    }

    /// Looks at the node, and again when a change may have lasted.
    private func look() {
        let found = scanner.scan()
        if found.remarks != inventory.remarks { for remark in found.remarks { log.warning("\(remark)") } }
        if found.isExclusiveNamespace != inventory.isExclusiveNamespace, found.isExclusiveNamespace == true {
            log.warning(
                """
                RDMA devices belong to one network namespace each (rdma system: netns exclusive): only those of this \
                namespace are seen, and a container needs its device moved into its own
                """)
        }
        let before = Set(inventory.devices.map(\.name))
        let after = Set(found.devices.map(\.name))
        for name in after.subtracting(before).sorted() { log.info("RDMA device \(name) is there") }
        for name in before.subtracting(after).sorted() { log.warning("RDMA device \(name) is gone") }
        inventory = found
        let identities = DeviceIdentity.identities(of: found.devices)
        var seen: [HealthMonitor.Key: Bool] = [:]
        for device in found.devices {
            for policy in HealthPolicy.allCases {
                let key = HealthMonitor.Key(identity: identities[device.name] ?? device.name, policy: policy)
                seen[key] = policy.accepts(device)
            }
        }
        let now = start.duration(to: .now)
        health.observe(seen, at: now)
        nextLook?.cancel()
        nextLook = health.nextLook.map { next in
            Task { [event] in
                try await Task.sleep(for: max(next - now, .milliseconds(10)))
                event.yield(.node(.devices))
            }
        }
    }

    private func refresh() {
        look()
        for definition in configuration.resources {
            if let entry = servers[definition.name] { publish(pool(definition), to: entry.server.feed) }
        }
    }

    private func pool(_ definition: ResourceDefinition) -> Pool {
        guard case .seats(let count) = definition.kind else { return Pool(definition, inventory, health) }
        return Pool(definition, seats: SeatDirectory(path: options.seatDirectory).seats(count))
    }

    private func publish(_ pool: Pool, to feed: Feed) {
        let old = feed.pool
        guard writeSpec(pool), pool != old else { return }
        if pool.shares != old.shares { sayFewerShares(pool) }
        let wasHealthy = Dictionary(old.members.map { ($0.identity, $0.isHealthy) }, uniquingKeysWith: { $1 })
        for member in pool.members where wasHealthy[member.identity].map({ $0 != member.isHealthy }) == true {
            log.warning(
                "\(pool.definition.name): \(member.device.name) is \(member.isHealthy ? "healthy" : "unhealthy")")
        }
        feed.publish(pool)
    }

    private func sayFewerShares(_ pool: Pool) {
        guard case .devices(let rules) = pool.definition.kind, let shares = rules.shares, pool.shares < shares else {
            return
        }
        log.warning(
            """
            \(pool.definition.name): \(pool.shares) shares of each device instead of \(shares): of \
            \(pool.members.count) devices a kubelet's message holds no more than \(Configuration.entriesMax)
            """)
    }

    /// A runtime must know a device before the kubelet does: false when a pool may not be told yet. The next tick tries
    /// again; it also mends what others have done to the spec.
    private func writeSpec(_ pool: Pool) -> Bool {
        guard let cdi, case .devices = pool.definition.kind else { return true }
        let name = pool.definition.name
        do {
            try cdi.update(pool)
            specErrors[name] = nil
            return true
        } catch {
            if specErrors.updateValue(error.code, forKey: name) != error.code {
                log.error("\(name): no CDI spec in \(options.cdiDirectory), so its devices stay as they were: \(error)")
            }
            return false
        }
    }

    /// Brings the servers in line with the configuration.
    private func apply() {
        let wanted = Dictionary(uniqueKeysWithValues: configuration.resources.map { ($0.name, $0) })
        for (name, entry) in servers {
            if let definition = wanted[name], definition.isServedLike(entry.server.feed.pool.definition) {
                publish(pool(definition), to: entry.server.feed)
            } else {
                entry.server.stop()
                servers[name] = nil
                endings[name] = entry.task
            }
        }
        for definition in configuration.resources where servers[definition.name] == nil {
            var pool = pool(definition)
            if !writeSpec(pool) { pool = Pool(definition, .empty, health) }
            if pool.entries.isEmpty {
                log.warning("\(definition.name): nothing on this node matches: 0 devices")
            } else {
                log.info("\(definition.name): \(pool.entries.count) devices")
            }
            sayFewerShares(pool)
            let server = ResourceServer(
                pool, directory: options.pluginDirectory,
                settings: .init(
                    injection: injection, seatDirectory: options.seatDirectory,
                    deviceRoot: options.deviceRoot,
                    gids: { [scanner] in scanner.gids(of: $0) }), group: group, log: log)
            let before = endings.removeValue(forKey: definition.name)
            let task = Task {
                // The same socket: the server before this one has to be through with it.
                await before?.value
                await server.run()
            }
            servers[definition.name] = (server, task)
        }
    }

    /// Reads the configuration again. A bad one changes nothing.
    private func reload() {
        let text: String
        do throws(PluginError) { text = try file.text() } catch { return missConfiguration(error) }
        unreadable = nil
        guard text != self.text else { return }
        self.text = text
        do {
            let new = try check(Configuration(text, file: file.path))
            log.notice("\(file.path): read again, \(new.resources.count) resources")
            for remark in new.remarks { log.notice("\(file.path): \(remark)") }
            configuration = new
            isTextUsed = true
            reloads += 1
            look()
            apply()
        } catch {
            isTextUsed = false
            refusedReloads += 1
            log.error("the new configuration is not used: \(error)")
        }
    }

    /// In the middle of a swap, or gone: the next event or tick tells.
    private func missConfiguration(_ error: PluginError) {
        let missing = unreadable ?? (since: .now, isSaid: false)
        let isLasting = missing.since.duration(to: .now) >= Self.swapTime
        if isLasting, !missing.isSaid { log.warning("\(error): what it said last stays in use") }
        unreadable = (missing.since, missing.isSaid || isLasting)
    }

    private func report() {
        log.info(
            "found \(inventory.devices.count) RDMA devices",
            metadata: [
                "devices": "\(inventory.devices.map(\.name).joined(separator: ","))",
                "cdi": "\(injection)", "kubelet": "\(options.pluginDirectory)",
            ])
    }

    private func serveMetrics() async throws(PluginError) -> MetricsServer? {
        guard let address = options.metricsAddress else { return nil }
        return try await MetricsServer(address, group: group) { [weak self] path in
            await self?.answer(path)
        }
    }

    private func answer(_ path: String) -> MetricsServer.Answer? {
        switch path {
        case "/metrics": .init(status: 200, text: metrics())
        case "/healthz": health(of: servers.mapValues(\.server))
        default: nil
        }
    }

    private func health(of servers: [String: ResourceServer]) -> MetricsServer.Answer {
        guard FileIdentity("\(options.pluginDirectory)/kubelet.sock") != nil else {
            return .init(status: 200, text: "ok: no kubelet\n")
        }
        // A kubelet that has just come has had no time to listen.
        lookAtKubelet()
        let present = kubeletSince.duration(to: .now)
        let silent = servers.values.filter { min($0.counters.silence ?? .zero, present) > options.unhealthyAfter }
        guard !silent.isEmpty else { return .init(status: 200, text: "ok\n") }
        let names = silent.map(\.name).sorted().joined(separator: ", ")
        return .init(status: 503, text: "the kubelet does not listen: \(names)\n")
    }

    private func metrics() -> String {
        MetricsText.text(
            servers: servers.values.map(\.server).sorted { $0.name < $1.name }, rdmaDevices: inventory.devices.count,
            kubeletRestarts: kubeletRestarts,
            isConfigurationCurrent: isTextUsed && unreadable?.isSaid != true, reloads: reloads,
            refusedReloads: refusedReloads)
    }
}

extension ResourceDefinition {
    /// Whether one server can go from one to the other by a new list: what it registered with stays true.
    fileprivate func isServedLike(_ other: ResourceDefinition) -> Bool {
        switch (kind, other.kind) {
        case (.devices, .devices), (.seats, .seats): name == other.name
        default: false
        }
    }
}
