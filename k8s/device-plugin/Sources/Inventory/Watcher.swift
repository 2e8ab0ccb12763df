import CNetlink
import Glibc
import Synchronization

/// What may have changed. Events carry no facts: whoever gets one looks for itself.
package enum NodeEvent: Sendable, Equatable {
    /// RDMA devices or links, by the kernel's word.
    case devices
    /// Something in one of the watched directories.
    case files
    /// Time for the fallback's look.
    case tick
}

/// Waits for the kernel's news on a thread of its own: RDMA netlink, links, uevents, and inotify on directories.
///
/// Netlink belongs to a network namespace: in a pod of its own it is silent, and ticks are what is left.
package final class Watcher: Sendable {
    private let inotify: Int32
    private let wakeUp: Int32
    private let netlink: [Int32]
    private let isStopped = Atomic(false)

    /// Sources of events that could not be had; ticks cover them.
    package let silent: [String]

    /// Opens everything that can be opened. `rdma link` events come from kernels since 6.12.
    package init() {
        inotify = cnetlink_inotify()
        let isAtLimit = inotify < 0 && errno == EMFILE
        wakeUp = cnetlink_eventfd()
        let sockets = [
            ("RDMA netlink", cnetlink_open(NETLINK_RDMA, 1 << (rdmaNotifyGroup - 1))),
            ("rtnetlink", cnetlink_open(NETLINK_ROUTE, 1 << (linkGroup - 1))),
            ("uevents", cnetlink_open(NETLINK_KOBJECT_UEVENT, 1)),
        ]
        netlink = sockets.map(\.1).filter { $0 >= 0 }
        let files = isAtLimit ? "inotify (raise fs.inotify.max_user_instances on the node)" : "inotify"
        silent = (sockets + [(files, inotify)]).filter { $0.1 < 0 }.map(\.0)
    }

    deinit { for fd in [inotify, wakeUp] + netlink where fd >= 0 { close(fd) } }

    /// Begins to watch a directory, again after it was made anew.
    /// - Throws: Why it is not watched; nothing when there is no inotify at all, which ``silent`` says.
    package func watch(directory: String) throws(Errno) {
        guard inotify >= 0 else { return }
        let mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_ONLYDIR
        guard unsafe inotify_add_watch(inotify, directory, UInt32(mask)) >= 0 else { throw Errno() }
    }

    /// Calls `deliver` on a new thread until ``stop()``, at least once every `interval`.
    package func start(every interval: Duration, deliver: @escaping @Sendable (NodeEvent) -> Void) throws(Errno) {
        let body = Body { [self] in run(interval, deliver) }
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { box in
                unsafe Unmanaged<Body>.fromOpaque(box!).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(body).toOpaque())
        guard code == 0 else { throw Errno(code: code) }
        pthread_detach(thread)
    }

    /// Ends the thread; the descriptors are closed when that has ended.
    package func stop() {
        isStopped.store(true, ordering: .relaxed)
        var one: UInt64 = 1
        _ = unsafe write(wakeUp, &one, 8)
    }

    private func run(_ interval: Duration, _ deliver: (NodeEvent) -> Void) {
        var entries = ([wakeUp, inotify] + netlink).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var nextTick = ContinuousClock.now + interval
        while !isStopped.load(ordering: .relaxed) {
            let left = ContinuousClock.now.duration(to: nextTick) / .milliseconds(1)
            let ready = unsafe poll(&entries, UInt(entries.count), Int32(min(max(left.rounded(.up), 0), 60_000)))
            if ready > 0 {
                if entries[1].revents != 0, drain(inotify, { _ in true }) { deliver(.files) }
                if entries.dropFirst(2).contains(where: { $0.revents != 0 }) {
                    // Changes come in bursts: one look at the end of a short while serves them all.
                    usleep(burstMicroseconds)
                    let news = netlink.map { drain($0, isNews) }
                    if news.contains(true) { deliver(.devices) }
                }
            }
            if ContinuousClock.now >= nextTick {
                deliver(.tick)
                nextTick = ContinuousClock.now + interval
            }
        }
    }

    /// Reads all that waits; true when any of it counts, or was lost.
    private func drain(_ fd: Int32, _ counts: ([UInt8]) -> Bool) -> Bool {
        unsafe withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 8) { buffer in
            var any = false
            while true {
                let count = unsafe read(fd, buffer.baseAddress, buffer.count)
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == ENOBUFS {
                    any = true
                    continue
                }
                guard count > 0 else { return any }
                any = unsafe counts(Array(buffer[..<count])) || any
            }
        }
    }

    /// Uevents tell of every device there is: only those of RDMA and of network devices count.
    private func isNews(_ message: [UInt8]) -> Bool {
        // Uevents are text, "add@/devices/..."; netlink messages begin with their length in 32 bits, a small one.
        guard message.count > 8, message[3] != 0 else { return true }
        let text = String(decoding: message, as: UTF8.self)
        return text.contains("SUBSYSTEM=infiniband") || text.contains("SUBSYSTEM=net\0")
    }
}

/// An error number of the system.
package struct Errno: Error, CustomStringConvertible {
    /// `errno`.
    package let code: Int32

    /// The number given, or that of the last call on this thread.
    package init(code: Int32 = Glibc.errno) { self.code = code }

    /// The system's words.
    package var description: String { unsafe String(cString: strerror(code)) }
}

/// RDMA_NL_GROUP_NOTIFY: not in the headers of kernels before 6.12.
private let rdmaNotifyGroup = UInt32(4)
/// RTNLGRP_LINK.
private let linkGroup = UInt32(1)
private let burstMicroseconds = UInt32(20_000)

/// What a thread runs.
private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
