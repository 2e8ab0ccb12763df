/// What a listener asks of its clients. By default nothing: plain text, and everybody is `User:ANONYMOUS`.
package struct ListenerSecurity: Sendable {
    package init() {}
}
