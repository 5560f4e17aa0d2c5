-- Reads a partition's facts and sees to it that no later one gets an earlier place. ARGV: workspace, first id, until which
-- millisecond, count.
local key = KEYS[1] .. ':fx:' .. ARGV[1]
local last_ms = -1
if redis.call('EXISTS', key) == 0 then
  redis.call('XGROUP', 'CREATE', key, 'none', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', key, 'none')
else
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local ms, seq = string.match(info[i + 1], '^(%d+)-(%d+)$')
      last_ms = tonumber(ms)
      if last_ms == tonumber(ARGV[3]) and seq ~= '18446744073709551615' then last_ms = last_ms - 1 end
    end
  end
end
if last_ms < tonumber(ARGV[3]) then
  redis.call('XSETID', key, ARGV[3] .. '-18446744073709551615')
end
return redis.call('XRANGE', key, ARGV[2], ARGV[3], 'COUNT', ARGV[4])
