-- Radiographs that come to the archive go on to the node. What the node sends back stays: it would only be acknowledged there.
local radiographs = { CR = true, DX = true }

function OnStoredInstance(instance, tags, metadata, origin)
  if radiographs[tags.Modality] and origin.RemoteAet ~= 'PATCHCLIP' then
    SendToModality(instance, 'patchclip')
  end
end
