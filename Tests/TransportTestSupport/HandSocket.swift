internal import CLinux
internal import Foundation

/// The socket of a listening shared-memory fabric, spoken by hand.
@safe package final class HandSocket {
    private let descriptor: Int32
    private var mapping: UnsafeMutableRawPointer?
    private var mapped = 0

    package init(_ path: String) throws {
        descriptor = clinux_packet_socket()
        var address = sockaddr_un()
        let length = unsafe clinux_unix_address(&address, path)
        var result: Int32
        // EAGAIN: the listener's queue is full for a moment.
        repeat {
            result = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(descriptor, $0, length) }
            }
        } while result != 0 && errno == EAGAIN
        try expect(result == 0, "cannot connect to \(path): \(errno)")
    }

    deinit {
        if let mapping = unsafe mapping { unsafe munmap(mapping, mapped) }
        close(descriptor)
    }

    /// Sends one packet, with a descriptor when given; nothing is waited for.
    package func send(_ bytes: [UInt8], descriptor passed: Int32 = -1) {
        _ = unsafe bytes.withUnsafeBytes {
            unsafe clinux_send_packet(descriptor, $0.baseAddress, $0.count, passed, clinux_dontwait)
        }
    }

    private var passed: Int32 = -1

    /// The next packet that is not a wake-up; nil when none comes.
    package func receive(seconds: Int) -> [UInt8]? {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, Int32(seconds * 1000)) == 1 else { return nil }
            var bytes = [UInt8](repeating: 0, count: 128)
            var truncated: Int32 = 0
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe clinux_receive_packet(descriptor, $0.baseAddress, $0.count, &passed, &truncated, clinux_dontwait)
            }
            guard count > 0 else { return nil }
            if bytes[0] != 5 { return Array(bytes[..<count]) }
        }
    }

    /// Says hello as a client does, and maps the rings.
    package func handshake(_ privateData: [UInt8]) throws -> UnsafeMutableRawPointer {
        hello(privateData)
        return unsafe try rings().baseAddress!
    }

    /// Asks for a connection.
    package func hello(_ privateData: [UInt8]) { send([1, 2, 0, 0] + Array("rdms".utf8) + privateData) }

    /// Waits until the server accepts, and maps the rings.
    package func rings() throws -> UnsafeMutableRawBufferPointer {
        let packet = receive(seconds: 10)
        try expect(packet?.first == 2 && passed >= 0, "not accepted: \(packet ?? [])")
        var status = stat()
        unsafe fstat(passed, &status)
        mapped = Int(status.st_size)
        unsafe mapping = unsafe clinux_map(passed, mapped, 1)
        close(passed)
        passed = -1
        return unsafe UnsafeMutableRawBufferPointer(start: mapping, count: mapped)
    }
}
