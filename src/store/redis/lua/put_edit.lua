-- Keeps an edit of one geofence. ARGV: node, workspace, set, geofence, at, whether it has a pack, pack.
-- Kept is: time, blank, `+` and the pack, or `-`.
local c, ws, set = KEYS[1], ARGV[2], ARGV[3]
local edits, edited = c .. ':edits:' .. ws .. '\0' .. set, c .. ':edited:' .. ws
if ARGV[6] == '0' and redis.call('HEXISTS', c .. ':sets:' .. ws, set) == 0 then
  -- There is no version below from which it would have to be taken out.
  redis.call('HDEL', edits, ARGV[4])
  if redis.call('EXISTS', edits) == 0 then redis.call('SREM', edited, set) end
else
  redis.call('HSET', edits, ARGV[4], ARGV[5] .. ' ' .. (ARGV[6] == '1' and '+' .. ARGV[7] or '-'))
  redis.call('SADD', edited, set)
  redis.call('SADD', c .. ':workspaces', ws)
end
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'edit', 'w', ws,
  's', set, 'g', ARGV[4])
return 1
