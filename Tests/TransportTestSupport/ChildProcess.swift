package import Foundation

/// A program in another process, started with posix_spawn and waited for with waitpid: no run loop, so that it can be
/// used from any thread.
package final class ChildProcess {
    package let pid: Int32
    private var status: Int32?

    /// Directory of the built programs: where this test bundle is.
    package static var programs: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    }

    /// Starts `words[0]`, looked up in PATH when it has no slash.
    /// - Parameters: descriptors for the child's standard input, output and error; −1: /dev/null.
    package init(
        _ words: [String], environment: [String: String] = [:], input: Int32 = -1, output: Int32 = -1, error: Int32 = -1
    ) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in [input, output, error].enumerated() {
            if descriptor < 0 {
                unsafe posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", O_RDWR, 0)
            } else {
                unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
            }
        }
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        var variablePointers: [UnsafeMutablePointer<CChar>?] = unsafe variables.map { unsafe strdup($0) } + [nil]
        defer {
            unsafe arguments.forEach { unsafe free($0) }
            unsafe variablePointers.forEach { unsafe free($0) }
        }
        var pid: pid_t = 0
        let result = unsafe posix_spawnp(&pid, words[0], &actions, nil, &arguments, &variablePointers)
        guard result == 0 else {
            throw ScenarioFailure("cannot start \(words[0]): \(unsafe String(cString: strerror(result)))")
        }
        self.pid = pid
    }

    deinit {
        guard status == nil else { return }
        Foundation.kill(pid, SIGKILL)
        _ = wait()
    }

    package var isRunning: Bool {
        if status != nil { return false }
        var raw: Int32 = 0
        if unsafe waitpid(pid, &raw, WNOHANG) == pid { status = raw }
        return status == nil
    }

    package func signal(_ number: Int32) { if isRunning { Foundation.kill(pid, number) } }

    /// Waits for the end: the exit status, or 128 and the signal's number.
    @discardableResult package func wait() -> Int32 {
        var raw: Int32 = status ?? 0
        while status == nil {
            if unsafe waitpid(pid, &raw, 0) == pid { status = raw } else if errno != EINTR { status = raw }
        }
        return raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
    }

    package func kill() {
        signal(SIGKILL)
        wait()
    }
}

/// A pipe whose ends children do not inherit by accident.
package func makePipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw ScenarioFailure("pipe failed") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// Everything until the end of a pipe, which is closed.
package func readToEnd(_ descriptor: Int32) -> String {
    defer { close(descriptor) }
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return String(decoding: all, as: UTF8.self) }
        all += piece[..<count]
    }
}
