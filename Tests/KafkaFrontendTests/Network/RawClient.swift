import Glibc
import KafkaProtocol

/// A client's socket on loopback, blocking: bytes in, bytes out. A read that gets nothing for ten seconds fails.
final class RawClient: Sendable {
    let descriptor: Int32

    init(port: Int, receiveBufferBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw RawClientError("socket: errno \(errno)") }
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var bytes = receiveBufferBytes {
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, 4)
        }
        var one: Int32 = 1
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let failure = errno
            Glibc.close(descriptor)
            throw RawClientError("connect: errno \(failure)")
        }
    }

    deinit { Glibc.close(descriptor) }

    func send(_ bytes: [UInt8]) throws { try send(bytes[...]) }

    func send(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw RawClientError("send: errno \(errno)") }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends what the socket takes at once.
    /// - Returns: how many bytes that was; 0 when it takes none.
    func sendSome(_ bytes: [UInt8]) -> Int {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(
                descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        return max(0, count)
    }

    /// Receives exactly so many bytes.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = unsafe bytes.withUnsafeMutableBytes {
                unsafe recv(descriptor, $0.baseAddress! + done, count - done, 0)
            }
            guard got > 0 else { throw RawClientError(got == 0 ? "end of file" : "recv: errno \(errno)") }
            done += got
        }
        return bytes
    }

    /// The next frame, without its length.
    func receiveFrame() throws -> [UInt8] {
        let prefix = try receive(4).reduce(0) { $0 << 8 | Int($1) }
        return try receive(prefix)
    }

    /// The correlation id of the next response.
    func receiveCorrelationID() throws -> Int32 {
        Int32(truncatingIfNeeded: try receiveFrame().prefix(4).reduce(0) { $0 << 8 | Int($1) })
    }

    /// Whether the broker closes the connection without sending anything more.
    /// - Parameter bytesMax: So many bytes it may send: an alert of TLS.
    func isClosedByPeer(afterBytes bytesMax: Int = 0) -> Bool {
        var byte: UInt8 = 0
        for _ in 0..<bytesMax {
            guard unsafe recv(descriptor, &byte, 1, 0) == 1 else { break }
        }
        let got = unsafe recv(descriptor, &byte, 1, 0)
        return got == 0 || got < 0 && errno == ECONNRESET
    }

    func endSending() { _ = shutdown(descriptor, Int32(SHUT_WR)) }
}

struct RawClientError: Error {
    let text: String

    init(_ text: String) { self.text = text }
}

/// Equality that is quick without optimization, too.
func sameBytes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    unsafe a.withUnsafeBytes { unsafe sameBytes($0[...], b) }
}

func sameBytes(_ a: Slice<UnsafeRawBufferPointer>, _ b: [UInt8]) -> Bool {
    let a = unsafe UnsafeRawBufferPointer(rebasing: a)
    return unsafe a.count == b.count && (b.isEmpty || memcmp(a.baseAddress!, b, b.count) == 0)
}

func sameBytes(_ a: Slice<UnsafeMutableRawBufferPointer>, _ b: [UInt8]) -> Bool {
    unsafe sameBytes(UnsafeRawBufferPointer(rebasing: a)[...], b)
}
