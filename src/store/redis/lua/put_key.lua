-- Adds an API key. ARGV: node, workspace, id, document.
local c = KEYS[1]
if redis.call('HSETNX', c .. ':keys', ARGV[3], ARGV[4]) == 1 then
  redis.call('SADD', c .. ':workspaces', ARGV[2])
  redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'keys', 'w', ARGV[2])
end
return 1
